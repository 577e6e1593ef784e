"""Files that conversations come from: those of other apps, and Annals' own, read as the lines that an import takes.

``reading`` recognises a file by what it holds and gives its lines, one after another, however large it is. One module
knows one app's files.
"""
