"""What people read: figures, page pieces and the page template."""
