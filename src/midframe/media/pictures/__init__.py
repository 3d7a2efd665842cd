"""Picture files to integer arrays, and back."""
