"""Files of the program's own: settings, presets, themes, conversations."""
