"""What a run looks like to people: words, figures and one self-contained page."""
