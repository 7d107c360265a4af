"""What the commands of `snncc` do, each as functions that return text; cli.py parses and prints."""
