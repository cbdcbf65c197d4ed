"""What quantization did to each node: formulas with their numbers, and what they cost."""
