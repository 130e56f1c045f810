"""Processes and where they run: Ray, one file for each role, supervision of processes, the embedded Redis.

May import no other room of `deploy`.
"""
