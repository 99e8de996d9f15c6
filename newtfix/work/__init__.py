"""What commands share: session, outcome, steps, pages."""
