"""The web server of a study: an ASGI application that only ever holds what the database holds.

app, asgi     the application, and a factory for other servers
service       what its parts share: study, store, limits, caches
security      headers, size of bodies, foreign sites; limits: requests per session and address
sessions      opening, continuing, taking over and ending sessions; drafts; problems
answers       saving a page; answer, acceptance, judge, saving: its four steps
views, tokens what a browser is told, under names that say nothing
media, shell  sounds and pictures; the kit's own pages
monitor       what the owner sees, behind a login
"""
