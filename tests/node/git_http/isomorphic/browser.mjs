// fetch as a browser does it for a page of another origin: preflight first, and no answer without
// leave (the Fetch standard, "CORS protocol"). Node's own fetch asks nobody.

export const PAGE = 'https://page.example'

const SIMPLE_METHODS = ['GET', 'HEAD', 'POST']
const SIMPLE_HEADERS = ['accept', 'accept-language', 'content-language']
const SIMPLE_TYPES = ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']

export const requests = []

function needingLeave(headers) {
  return [...headers]
    .filter(([name, value]) =>
      name === 'content-type' ? !SIMPLE_TYPES.includes(value) : !SIMPLE_HEADERS.includes(name)
    )
    .map(([name]) => name)
    .sort()
}

function listed(answer, header) {
  const value = answer.headers.get(header) ?? ''
  return value.split(',').map(word => word.trim().toLowerCase())
}

function allowOrigin(answer) {
  const allowed = answer.headers.get('access-control-allow-origin')
  if (allowed !== '*' && allowed !== PAGE) throw new TypeError(`CORS: origin ${allowed}`)
}

async function preflight(ask, url, method, names) {
  const headers = { origin: PAGE, 'access-control-request-method': method }
  if (names.length) headers['access-control-request-headers'] = names.join(',')
  const answer = await ask(url, { method: 'OPTIONS', headers })
  requests.push(`OPTIONS ${answer.status} for ${method} ${names.join(',')}`)
  allowOrigin(answer)
  if (!answer.ok) throw new TypeError(`CORS: preflight ${answer.status}`)
  const methods = listed(answer, 'access-control-allow-methods')
  if (!SIMPLE_METHODS.includes(method) && !methods.includes(method.toLowerCase())) {
    throw new TypeError(`CORS: method ${method}`)
  }
  const allowed = listed(answer, 'access-control-allow-headers')
  for (const name of names) {
    if (!allowed.includes(name)) throw new TypeError(`CORS: header ${name}`)
  }
}

export function asBrowser(ask) {
  return async (url, options = {}) => {
    const method = options.method ?? 'GET'
    const headers = new Headers(options.headers)
    headers.delete('user-agent')
    const names = needingLeave(headers)
    if (names.length || !SIMPLE_METHODS.includes(method)) await preflight(ask, url, method, names)
    headers.set('origin', PAGE)
    const answer = await ask(url, { ...options, headers })
    requests.push(`${method} ${answer.status} ${new URL(url).pathname.split('.git/')[1]}`)
    allowOrigin(answer)
    return answer
  }
}
