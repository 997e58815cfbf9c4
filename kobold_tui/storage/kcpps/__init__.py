"""KoboldCpp's configuration files: what their keys mean here, and presets written as such files."""
