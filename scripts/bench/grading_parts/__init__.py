"""Parts of the grading bench."""
