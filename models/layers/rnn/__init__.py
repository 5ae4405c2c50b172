"""What belongs to the options of recurrent layers."""
