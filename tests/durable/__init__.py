"""What the durability bench and its short version in the suite share: homes, operations, faults."""
