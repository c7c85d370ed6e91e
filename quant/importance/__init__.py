"""How much each input of a weight counts: importance matrices, read, averaged and written."""
