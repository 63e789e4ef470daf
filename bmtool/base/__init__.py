"""The ground floor: files, the console, quantities. Imports nothing else of bmtool but its errors."""
