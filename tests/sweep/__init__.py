"""The sweep: a job and a small map come into the middle of all kinds of maps. How long do they wait?

mixes     which maps there are, and where the newcomers come
measure   one of them, on a worker that is there
__main__  all of them, as a table: make sweep
"""
