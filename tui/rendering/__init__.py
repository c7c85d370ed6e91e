"""From model text to strips of cells: pure, except for the styles it is given."""
