"""Processes and where they run: Ray, one file for each role, failure domains and health, the embedded Redis.

May import no other room of `deploy`.
"""
