/* The search of the site where it is opened as a file.
 *
 * Browsers start no worker from a file: page. There this class takes the place of
 * Worker and runs the script in a hidden frame of the same page; elsewhere nothing
 * changes. Its use is that of a Worker: postMessage, terminate, and messages as events.
 */
;(() => {
  if (window.location.protocol !== "file:") return

  class FrameWorker extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.title = "search"
      // An event is handled when it is dispatched: a message that comes before the
      // script is there would be lost.
      this.ready = new Promise(resolve => {
        document.body.appendChild(this.frame)
        const inner = this.frame.contentWindow
        inner.postMessage = data => this.receive(data)
        load(inner, new URL(url, document.baseURI).href).then(() => resolve(inner))
      })
    }

    receive(data) {
      const event = new MessageEvent("message", { data })
      setTimeout(() => {
        if (typeof this.onmessage === "function") this.onmessage(event)
        this.dispatchEvent(event)
      })
    }

    postMessage(data) {
      this.ready.then(inner =>
        inner.dispatchEvent(new inner.MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.remove()
    }
  }

  const load = (inner, url) =>
    new Promise((resolve, reject) => {
      const script = inner.document.createElement("script")
      script.onload = resolve
      script.onerror = reject
      script.src = url
      inner.document.body.appendChild(script)
    })

  window.Worker = FrameWorker
})()
