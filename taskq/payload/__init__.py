"""Payload: how values become bytes and values again, and who may have written them.

Knows nothing of Redis. Imported by everybody above.

    codec       pickle, and code by value; the codec of one place
    by_value    what goes by value, and how: cloudpickle, and what it leaves out
    stuck       what of a value can't travel, and where in it that is
    classes     classes that went by value become the reader's own, if these are alike
    shape       what makes two classes alike
    sources     source lines that go along with functions
    signing     secret keys, and what is signed for which place
    canonical   bytes of a value that are the same in each run
    code_hash   what tells one version of a function from another
    large       large objects apart from the pickles that hold them
    views       memoryviews as such
    function    what is called: by value or by name
    prepared    a function with its initializer
    names         paths of functions, and what is missing where nothing stands at one
    imports     which names may be imported
    signed_job  RQ jobs whose pickles are signed
    rq_defaults what RQ reads in a program that has a key
    sealed      pickles that pass through a service unopened
    ranges      ranges of items, which name chunks
    outcome     what comes out of running items
    results     the elements of result lists
"""
