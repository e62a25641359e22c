// Keeps the photos of a page while its language changes, which loads it anew.
//
// In IndexedDB, as session storage takes no files, and for that moment only: on the next page they
// are read, and the database is removed.

const NAME = "triptych-photos";
const STORE = "photos";

/** @param {File[]} files for the next page at this address, in this tab */
export async function keep(files) {
  const database = await opened();
  await settled(database.transaction(STORE, "readwrite").objectStore(STORE).put(files, location.pathname));
  database.close();
  sessionStorage.setItem(NAME, location.pathname);
}

/** @returns {Promise<File[]>} those that the page before kept */
export async function kept() {
  const isHere = sessionStorage.getItem(NAME) === location.pathname;
  sessionStorage.removeItem(NAME);
  const files = isHere ? await read() : [];
  indexedDB.deleteDatabase(NAME); // also what a tab left that was closed meanwhile
  return files;
}

async function read() {
  const database = await opened();
  const files = await settled(database.transaction(STORE).objectStore(STORE).get(location.pathname));
  database.close();
  return files ?? [];
}

function opened() {
  const opening = indexedDB.open(NAME);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  return settled(opening);
}

/** @param {IDBRequest} request @returns {Promise<any>} its result */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
