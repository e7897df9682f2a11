-- For wrk: each thread is one person, who sends the next question when the answer to the last one is there.
-- Arguments: a file with one JSON line a person (path and headers), and the body with %d for the number of the message
-- and %s for the question.
local people, threads = {}, 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local questions = {
  "does it hurt?", "how long will I be red?", "when can I wear makeup?", "how many sessions do I need?",
}

function init(arguments)
  local lines = {}
  for line in io.lines(arguments[1]) do lines[#lines + 1] = line end
  local path, token = string.match(lines[number], "^(%S+) ?(%S*)$")
  person = { path = path, token = token, sender = "p" .. number }
  form = arguments[2]
  sent, failed = 0, 0
end

function request()
  sent = sent + 1
  local body = form:gsub("@number", person.sender .. "-" .. arguments_salt .. "-" .. sent)
  body = body:gsub("@person", person.sender .. "-" .. arguments_salt):gsub("@question", questions[sent % 4 + 1])
  local headers = { ["Content-Type"] = "application/json" }
  if person.token ~= "" then headers["Authorization"] = "Bearer " .. person.token end
  return wrk.format("POST", person.path, headers, body)
end

arguments_salt = tostring(os.time())

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"messages": %d, "seconds": %.3f, "median": %.3f, "p95": %.3f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
