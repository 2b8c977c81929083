"""The scenario language: schema, units, loader, catalogue, importers and the vocabulary of a fleet."""
