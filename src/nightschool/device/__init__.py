"""What differs between operating systems. Code that asks which one it runs on lives here only."""
