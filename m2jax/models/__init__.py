"""The decoder: one configuration, one parameter table, one forward, and the attention it is given."""
