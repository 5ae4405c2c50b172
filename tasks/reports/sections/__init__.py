"""What a report says, a section a file: HTML of the page's own classes, without style or script."""
