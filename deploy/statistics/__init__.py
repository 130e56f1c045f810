"""Pure statistics over what a run recorded: transfer from guided to unguided, and which rollouts are lost.

May import broker records; no other room of `deploy`.
"""
