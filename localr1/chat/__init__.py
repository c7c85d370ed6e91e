"""A conversation with a reasoning model: template, thinking splitter, history, events."""
