"""What works: metrics of the programme."""
