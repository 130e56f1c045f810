"""The commands of `pope`, by what they are for. Each loads what it needs when it is called, so that --help is quick."""
