"""One module per database driver; a driver's types and exceptions end here."""
