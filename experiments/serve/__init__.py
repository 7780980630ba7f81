"""The twin page: a finished run behind a page for one thermogram at a time."""
