"""Owns documents that people bring: reading them safely, and counting their tokens.

Whoever wrote a document may mean harm. Formats that need a parser are parsed in a child with limits
on memory and time; what comes back is text and nothing else.
"""
