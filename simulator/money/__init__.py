"""Money: from paid instance lives to FOCUS line items, and from line items to a cost per prediction."""
