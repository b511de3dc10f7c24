"""What describes a partner: one row a partner, as of a date."""
