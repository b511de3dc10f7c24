"""Where partners stand on their way and what comes next."""
