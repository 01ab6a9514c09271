// isomorphic-git in a page, in memory: clone, commit, push as a pull request, push what is refused.
// The page's fragment is a JSON object with `url` and `ref`; what came of it is sent to /said.

const parameters = JSON.parse(decodeURIComponent(location.hash.slice(1)))

function failed(code) {
  return Object.assign(new Error(code), { code })
}

class MemoryFiles {
  entries = new Map([['/', null]])

  find(path) {
    path = path.replace(/\/\.$/, '')
    if (!this.entries.has(path)) throw failed('ENOENT')
    return this.entries.get(path)
  }

  async readFile(path, options) {
    const data = this.find(path)
    if (data === null) throw failed('EISDIR')
    const text = (options?.encoding ?? options) === 'utf8'
    return text ? new TextDecoder().decode(data) : data
  }

  async writeFile(path, data) {
    this.find(path.replace(/\/[^/]*$/, '') || '/')
    this.entries.set(path, typeof data === 'string' ? new TextEncoder().encode(data) : data.slice())
  }

  async mkdir(path) {
    this.find(path.replace(/\/[^/]*$/, '') || '/')
    if (this.entries.has(path)) throw failed('EEXIST')
    this.entries.set(path, null)
  }

  async readdir(path) {
    if (this.find(path) !== null) throw failed('ENOTDIR')
    const start = path === '/' ? '/' : `${path}/`
    const below = [...this.entries.keys()].filter(key => key.startsWith(start) && key !== start)
    return below.map(key => key.slice(start.length)).filter(name => !name.includes('/'))
  }

  async unlink(path) {
    this.find(path)
    this.entries.delete(path)
  }

  async rmdir(path) {
    if ((await this.readdir(path)).length) throw failed('ENOTEMPTY')
    this.entries.delete(path)
  }

  async stat(path) {
    const data = this.find(path)
    const times = { ctimeMs: 0, mtimeMs: 0 }
    return {
      ...times, dev: 0, ino: 0, uid: 0, gid: 0,
      mode: data === null ? 0o40000 : 0o100644,
      size: data?.length ?? 0,
      isFile: () => data !== null,
      isDirectory: () => data === null,
      isSymbolicLink: () => false,
    }
  }

  lstat = this.stat
  readlink = async () => { throw failed('ENOENT') }
  symlink = async () => { throw failed('EPERM') }
}

async function work() {
  const author = { name: 'a', email: 'a@a' }
  const common = { fs: { promises: new MemoryFiles() }, http: GitHttp, dir: '/repo' }
  await git.clone({ ...common, url: parameters.url })
  const cloned = await git.resolveRef({ ...common, ref: 'HEAD' })
  const commit = await git.commit({ ...common, author, message: 'from a page', ref: 'main' })
  const pushed = await git.push({ ...common, ref: 'main', remoteRef: parameters.ref })
  const refused = await git.push({ ...common, ref: 'main' }).catch(error => error.message)
  return { cloned, commit, pushed: pushed.ok, refused }
}

const said = await work().catch(error => ({ error: `${error.stack}` }))
await fetch('/said', { method: 'POST', body: JSON.stringify(said) })
