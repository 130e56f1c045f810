"""The commands of `pope`, grouped as in `pope --help`. Each imports what it needs when it is called.

May import every room of `deploy`.
"""
