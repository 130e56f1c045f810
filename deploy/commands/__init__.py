"""The commands of `pope`, grouped as in `pope --help`. Each imports its job only when it is called.

May import every room of `deploy`.
"""
