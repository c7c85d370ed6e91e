"""Machines that are not here: profiles of cards, Macs and PCs, and what a plan needs of them."""
