"""What we know: tables, sources, consent and the sample programme."""
