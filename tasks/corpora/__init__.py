"""How a corpus is named and opened: KIND:URI, its files and archives as byte ranges, the rows that readers give."""
