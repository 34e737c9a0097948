"""An OpenAI-compatible server on the engine: `models` (what is served), `protocol` and `fields` (a request's JSON),
`spell` (tokens to text), `worker` (the engine's thread), `speak` (a request's choices while they grow), `shape` (the
JSON of answers), `guard` (address, token, limits), `metrics`, `app` (HTTP), `process` (uvicorn, and how it ends),
`talks` and page.html (a person's talk with the model), `load` (clients that try it).

One thread does the work of the engine; the event loop does HTTP and text. Requests join while others are decoding.
"""
