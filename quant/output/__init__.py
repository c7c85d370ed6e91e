"""The output on the disk: how many files, which bytes are safe, how to go on after a cut."""
