"""The terminal interface: two panes, one stream of events. Speaks to `localr1` only."""
