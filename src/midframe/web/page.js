// What the page does in the browser; Gradio calls these functions when its elements are loaded.
"use strict";

// A file that is dropped beside its field would replace the page.
for (const name of ["dragover", "drop"])
  addEventListener(name, (event) => { if (!event.target.closest(".mf-drop")) event.preventDefault(); });

window.midframe = {
  // The session outlives a reload of its tab, and a lost connection.
  storedToken() {
    try { return sessionStorage.getItem("midframe") || ""; } catch { return ""; }
  },

  connect(token) {
    if (this.connection) return;
    try { sessionStorage.setItem("midframe", token); } catch { /* the browser stores nothing */ }
    this.connection = new EventSource("/midframe/alive/" + token);
    this.connection.addEventListener("names", (event) => {
      for (const [slot, name] of Object.entries(JSON.parse(event.data)))
        if (!(slot in this.names)) this.showName(slot, name);
    });
    this.connection.onerror = () => {
      if (this.connection.readyState !== EventSource.CLOSED) return;  // it connects again
      for (const status of document.querySelectorAll(".mf-upload-status")) {
        status.textContent = "This page has expired: reload it";
        status.classList.add("mf-error");
      }
      for (const bar of document.querySelectorAll("progress")) bar.parentElement.textContent = "";
    };
    addEventListener("pagehide", () => navigator.sendBeacon("/midframe/leave/" + token));
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  },

  // The names of the files that the session has, by their slots, which several fields share.
  names: {},

  showName(slot, name) {
    this.names[slot] = name;
    for (const input of document.querySelectorAll(`.mf-drop [data-slot=${slot}]`)) {
      const status = input.parentElement.querySelector(".mf-upload-status");
      status.textContent = name;
      status.classList.remove("mf-error");
    }
  },

  // A field for a file, which is sent to the server as soon as it is chosen.
  dropZone(element, props, trigger, watch) {
    let request = null;
    for (const [slot, name] of Object.entries(this.names)) this.showName(slot, name);
    watch("value", () => {
      element.dataset.session = "open";
      midframe.connect(props.value);
    });
    element.addEventListener("change", (event) => {
      const input = event.target;
      const file = input.files && input.files[0];
      const show = (text, failed) => {
        const status = element.querySelector(".mf-upload-status");
        status.textContent = text;
        status.classList.toggle("mf-error", Boolean(failed));
      };
      if (!file) return;
      if (file.size > Number(input.dataset.maxBytes)) {
        input.value = "";
        show(input.dataset.tooLarge, true);
        return;
      }
      show("Uploading …");
      waitForSession(0);

      // The page gets its session a moment after it is shown.
      function waitForSession(tries) {
        if (props.value) send();
        else if (tries < 300) setTimeout(() => waitForSession(tries + 1), 100);
        else show("The server does not answer: reload this page", true);
      }

      function send() {
        if (request) request.abort();
        request = new XMLHttpRequest();
        request.open("POST", "/midframe/upload/" + input.dataset.slot);
        request.setRequestHeader("X-Midframe-Session", props.value);
        request.setRequestHeader("X-Midframe-Name", encodeURIComponent(file.name));
        request.setRequestHeader("Content-Type", "application/octet-stream");
        let stalled;
        const watchForStall = () => {
          clearTimeout(stalled);
          stalled = setTimeout(stop, 1000 * input.dataset.stallSeconds);
        };
        const stop = () => {
          request.abort();
          input.value = "";
          show("The upload stalled: check the connection, then choose the file again", true);
        };
        watchForStall();
        request.upload.onloadend = () => clearTimeout(stalled);
        request.upload.onprogress = (sent) => {
          watchForStall();
          const percent = sent.total ? Math.floor((100 * sent.loaded) / sent.total) : 0;
          show(percent < 100 ? `Uploading: ${percent} %` : "Reading …");
        };
        request.onerror = () => {
          input.value = "";  // or choosing the same file again would change nothing
          show("The upload failed: check the connection, then choose the file again", true);
        };
        request.onload = () => {
          input.value = "";
          if (request.status !== 200) {
            show(request.responseText || "The upload failed", true);
            return;
          }
          midframe.showName(input.dataset.slot, file.name);
          trigger("upload");
        };
        request.send(file);
      }
    });
  },

  // Two videos: the original follows the result, slower if the result is in slow motion.
  player(element) {
    const follow = (event) => {
      const result = event.target;
      if (!result.classList || !result.classList.contains("mf-result")) return;
      const pair = result.closest(".mf-pair");
      const original = pair.querySelector(".mf-original");
      const slow = Number(pair.dataset.slow);
      const wanted = Number(pair.dataset.start) + result.currentTime / slow;
      original.playbackRate = Math.max(0.0625, result.playbackRate / slow);
      const apart = Math.abs(original.currentTime - wanted);
      if (apart > (result.paused ? 0.001 : 0.15)) original.currentTime = wanted;
      if (result.paused && !original.paused) original.pause();
      if (!result.paused && original.paused && !original.ended) original.play().catch(() => {});
    };
    for (const name of ["loadedmetadata", "play", "pause", "seeking", "seeked", "ratechange", "timeupdate"])
      element.addEventListener(name, follow, true);
    // A video without a picture is one whose sound alone can be played.
    const report = (event) => {
      const note = event.target.parentElement.querySelector(".mf-unplayable");
      if (note && (event.type === "error" || !event.target.videoWidth)) note.hidden = false;
    };
    for (const name of ["error", "loadedmetadata"]) element.addEventListener(name, report, true);
  },

  // Frames between two pictures, and the first of them before the one that is shown.
  viewer(element) {
    element.addEventListener("input", (event) => {
      const value = Number(event.target.value);
      if (event.target.classList.contains("mf-time")) {
        const frames = element.querySelectorAll(".mf-frame");
        frames.forEach((frame, number) => { frame.hidden = number !== value; });
        const link = element.querySelector(".mf-download");
        link.href = frames[value].src;
        link.download = `frame-${value}.png`;
      } else if (event.target.classList.contains("mf-split")) {
        element.querySelector(".mf-before").style.clipPath = `inset(0 ${100 - value}% 0 0)`;
      }
    });
  },

  // A picture whose pixels can be chosen; the position goes into two number fields.
  chooser(element) {
    element.addEventListener("click", (event) => {
      if (!event.target.classList.contains("mf-click")) return;
      const box = event.target.getBoundingClientRect();
      const set = (id, share) => {
        const input = document.querySelector(`#${id} input`);
        input.value = (100 * Math.min(1, Math.max(0, share))).toFixed(2);
        input.dispatchEvent(new Event("input", { bubbles: true }));
      };
      set("mf-x", (event.clientX - box.left) / box.width);
      set("mf-y", (event.clientY - box.top) / box.height);
      setTimeout(() => document.querySelector("#mf-visualize").click(), 100);
    });
  },
};
