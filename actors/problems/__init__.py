"""Which problems there are, who draws them when, and the guidance they carry."""
