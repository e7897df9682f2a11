"""What must not be kept: masking before anything is stored."""
