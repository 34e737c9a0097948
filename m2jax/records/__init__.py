"""Patient records: one type for the clinic's own and for those from outside."""
