"""What the demo needs beyond the line: the embedded broker, a sample shop, its shoppers and a screen."""
